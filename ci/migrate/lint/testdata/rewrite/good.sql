-- +goose Up
ALTER TABLE notes ADD COLUMN seen timestamptz DEFAULT now();
-- +goose Down
SELECT 1;
