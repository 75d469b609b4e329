-- test:old: SELECT answer() = 42
-- test:old: SELECT NOT relrowsecurity FROM pg_class WHERE oid = 'people'::regclass
-- +goose Up
CREATE OR REPLACE FUNCTION answer() RETURNS int LANGUAGE sql AS 'SELECT 43';
ALTER TABLE people ENABLE ROW LEVEL SECURITY;
ALTER TABLE people FORCE ROW LEVEL SECURITY;
-- +goose Down
SELECT 1;
