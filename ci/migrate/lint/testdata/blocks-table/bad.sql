-- test:lock: notes AccessExclusiveLock
-- test:lock: counted AccessExclusiveLock
-- test:lock: people AccessExclusiveLock
-- test:rewrites: notes
-- +goose Up
CLUSTER notes USING notes_pkey;
REFRESH MATERIALIZED VIEW counted;
LOCK TABLE people;
-- +goose Down
SELECT 1;
