-- test:old: SELECT bool_and(state = 'new') FROM notes
-- test:old: SELECT count(*) = 1 FROM people
-- +goose Up
UPDATE notes SET state = 'old';
DELETE FROM people;
-- +goose Down
SELECT 1;
