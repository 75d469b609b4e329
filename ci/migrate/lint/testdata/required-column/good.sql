-- +goose Up
ALTER TABLE notes ADD COLUMN pages int NOT NULL DEFAULT 1;
-- +goose Down
SELECT 1;
