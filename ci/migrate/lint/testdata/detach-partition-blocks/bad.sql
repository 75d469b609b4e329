-- test:lock: events AccessExclusiveLock
-- +goose Up
ALTER TABLE events DETACH PARTITION events_2025;
-- +goose Down
SELECT 1;
