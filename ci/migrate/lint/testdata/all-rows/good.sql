-- +goose Up
UPDATE notes SET state = 'old' WHERE id = 1;
-- +goose Down
SELECT 1;
