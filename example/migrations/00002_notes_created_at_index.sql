-- CONCURRENTLY, so that notes can be written while the index is made. That can't
-- run in a transaction, so this file has exactly one statement: there is no
-- half-done state to come back to. If it fails, PostgreSQL leaves an invalid
-- index behind: DROP INDEX CONCURRENTLY notes_created_at, and migrate again.

-- +goose NO TRANSACTION

-- +goose Up
CREATE INDEX CONCURRENTLY notes_created_at ON notes (created_at DESC, id DESC);

-- +goose Down
DROP INDEX CONCURRENTLY notes_created_at;
