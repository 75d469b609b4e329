-- +goose NO TRANSACTION
-- +goose Up
REINDEX TABLE CONCURRENTLY notes;
-- +goose Down
SELECT 1;
