-- What every file of this folder is run on.
CREATE TABLE people (id bigint PRIMARY KEY, name text NOT NULL);
CREATE TYPE mood AS ENUM ('fine', 'grim');
CREATE TABLE notes (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    title  text   NOT NULL,
    body   text,
    author bigint,
    state  text   NOT NULL DEFAULT 'new',
    felt   mood,
    CONSTRAINT titles UNIQUE (title)
);
CREATE INDEX notes_body ON notes (body);
CREATE VIEW headlines AS SELECT id, title FROM notes;
CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS n FROM notes;
CREATE FUNCTION answer() RETURNS int LANGUAGE sql AS 'SELECT 42';
CREATE TABLE events (at date NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE events_2026 (at date NOT NULL);
CREATE SCHEMA archive;
INSERT INTO people VALUES (1, 'Ada');
INSERT INTO notes (title, body, author) VALUES ('one', 'first', 1), ('two', 'second', 1);
