-- test:old: SELECT count(*) = 2 FROM notes
-- +goose Up
SET search_path = archive;
-- +goose Down
SELECT 1;
