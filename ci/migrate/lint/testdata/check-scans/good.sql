-- +goose Up
CREATE TABLE drafts (title text CHECK (length(title) < 50));
-- +goose Down
SELECT 1;
