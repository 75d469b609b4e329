-- +goose Up
CREATE TABLE drafts (id int);
DROP TABLE drafts;
-- +goose Down
SELECT 1;
