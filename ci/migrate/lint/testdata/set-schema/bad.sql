-- test:old: SELECT count(*) = 2 FROM notes
-- +goose Up
ALTER TABLE notes SET SCHEMA archive;
-- +goose Down
SELECT 1;
