-- +goose Up
ALTER TABLE notes ADD COLUMN a int;
-- +goose Down
SELECT 1;
