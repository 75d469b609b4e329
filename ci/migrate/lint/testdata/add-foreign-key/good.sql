-- +goose Up
CREATE TABLE likes (note bigint, person bigint);
-- +goose Down
SELECT 1;
