-- test:lock: events_2026 AccessExclusiveLock
-- +goose Up
ALTER TABLE events ATTACH PARTITION events_2026 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
-- +goose Down
SELECT 1;
