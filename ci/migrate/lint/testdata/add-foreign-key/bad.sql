-- test:old: INSERT INTO notes (title, author) VALUES ('three', 7) RETURNING true
-- test:lock: people ShareRowExclusiveLock
-- +goose Up
ALTER TABLE notes ADD CONSTRAINT by FOREIGN KEY (author) REFERENCES people (id) NOT VALID;
-- +goose Down
SELECT 1;
