-- +goose Up
CREATE FUNCTION question() RETURNS int LANGUAGE sql AS 'SELECT 6 * 9';
-- +goose Down
SELECT 1;
