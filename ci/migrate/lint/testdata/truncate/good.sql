-- +goose Up
CREATE TABLE drafts (id int);
TRUNCATE drafts;
-- +goose Down
SELECT 1;
