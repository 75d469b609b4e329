-- +goose Up
CREATE TABLE drafts (author bigint REFERENCES people (id));
-- +goose Down
SELECT 1;
