-- +goose Up
CREATE TYPE tone AS ENUM ('glad');
-- +goose Down
SELECT 1;
