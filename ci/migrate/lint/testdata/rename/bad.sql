-- test:old: SELECT bool_and(body IS NOT NULL) FROM notes
-- test:old: SELECT enum_range(NULL::mood)::text = '{fine,grim}'
-- +goose Up
ALTER TABLE notes RENAME COLUMN body TO text;
ALTER TYPE mood RENAME VALUE 'grim' TO 'sad';
-- +goose Down
SELECT 1;
