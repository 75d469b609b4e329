-- test:old: SELECT count(*) = 2 FROM headlines
-- test:old: SELECT answer() = 42
-- +goose Up
DROP VIEW headlines;
DROP FUNCTION answer();
-- +goose Down
SELECT 1;
