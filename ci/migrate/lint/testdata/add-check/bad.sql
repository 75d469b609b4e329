-- test:old: INSERT INTO notes (title) VALUES ('a longer one') RETURNING true
-- +goose Up
ALTER TABLE notes ADD CONSTRAINT short CHECK (length(title) < 5) NOT VALID;
-- +goose Down
SELECT 1;
