-- +goose Up
CREATE TABLE drafts (title text UNIQUE);
-- +goose Down
SELECT 1;
