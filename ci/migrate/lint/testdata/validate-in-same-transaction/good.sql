-- test:before: ALTER TABLE notes ADD CONSTRAINT short CHECK (length(title) < 50) NOT VALID
-- +goose Up
ALTER TABLE notes VALIDATE CONSTRAINT short;
-- +goose Down
SELECT 1;
