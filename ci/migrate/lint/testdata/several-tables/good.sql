-- +goose Up
ALTER TABLE notes ADD COLUMN a int;
ALTER TABLE notes ADD COLUMN b int;
-- +goose Down
SELECT 1;
