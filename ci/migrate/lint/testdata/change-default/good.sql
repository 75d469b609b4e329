-- +goose Up
ALTER TABLE notes ADD COLUMN kind text DEFAULT 'draft';
-- +goose Down
SELECT 1;
