-- What the user wanted forgotten: of these patterns and projects, events and ratings up to that time no longer count as evidence.
-- They stay where they are. NULL is all patterns, or all projects.

CREATE TABLE forgotten (
    id INTEGER PRIMARY KEY,
    pattern TEXT,                             -- a unit type stands for all its tags
    project TEXT,
    at REAL NOT NULL
);
