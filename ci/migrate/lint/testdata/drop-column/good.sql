-- +goose Up
ALTER TABLE notes ADD COLUMN summary text;
-- +goose Down
SELECT 1;
