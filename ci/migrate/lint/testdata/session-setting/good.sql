-- +goose Up
SET LOCAL search_path = archive;
-- +goose Down
SELECT 1;
