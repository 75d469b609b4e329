-- +goose Up
CREATE TABLE archive.notes (id bigint);
-- +goose Down
SELECT 1;
