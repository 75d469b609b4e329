-- +goose Up
ALTER INDEX notes_body RENAME TO notes_by_body;
-- +goose Down
SELECT 1;
