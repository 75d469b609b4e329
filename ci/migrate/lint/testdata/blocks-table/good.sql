-- +goose Up
CREATE MATERIALIZED VIEW long AS SELECT count(*) AS n FROM notes;
-- +goose Down
SELECT 1;
