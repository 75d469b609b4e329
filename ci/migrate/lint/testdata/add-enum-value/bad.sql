-- test:old: SELECT enum_range(NULL::mood)::text = '{fine,grim}'
-- +goose Up
ALTER TYPE mood ADD VALUE 'glad';
-- +goose Down
SELECT 1;
