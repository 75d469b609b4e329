-- +goose NO TRANSACTION
-- +goose Up
DROP INDEX CONCURRENTLY notes_body;
-- +goose Down
SELECT 1;
