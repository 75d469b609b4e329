-- test:old: SELECT count(*) = 0 FROM information_schema.columns WHERE table_name = 'notes' AND column_name = 'a'
-- test:rolled-back:
-- +goose Up
ALTER TABLE notes ADD COLUMN a int;
COMMIT;
-- +goose Down
SELECT 1;
