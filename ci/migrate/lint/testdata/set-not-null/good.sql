-- +goose Up
ALTER TABLE notes ADD COLUMN pages int;
-- +goose Down
SELECT 1;
