-- test:old: SELECT bool_and(body IS NOT NULL) FROM notes
-- +goose Up
DO $$ BEGIN EXECUTE 'ALTER TABLE notes DROP COLUMN body'; END $$;
-- +goose Down
SELECT 1;
