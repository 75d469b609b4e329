-- test:broken: CREATE UNIQUE INDEX CONCURRENTLY half ON notes (author)
-- test:after: SELECT NOT indisvalid FROM pg_index WHERE indexrelid = 'half'::regclass
-- +goose NO TRANSACTION
-- +goose Up
CREATE INDEX CONCURRENTLY IF NOT EXISTS half ON notes (author);
-- +goose Down
SELECT 1;
