-- +goose Up
ALTER TABLE notes ADD COLUMN author_id int;
-- +goose Down
SELECT 1;
