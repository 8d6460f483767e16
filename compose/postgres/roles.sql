-- Run once, when the database is created: the role that owns the tables, and the role that may only read them.
\set ON_ERROR_STOP on
\set owner `cat "${SECRETS:-/run/secrets}/postgres_password"`
\set reader `cat "${SECRETS:-/run/secrets}/postgres_reader_password"`
CREATE ROLE delegraph LOGIN PASSWORD :'owner';
CREATE ROLE delegraph_reader LOGIN PASSWORD :'reader';
CREATE DATABASE delegraph OWNER delegraph;
REVOKE ALL ON DATABASE delegraph FROM PUBLIC;
GRANT CONNECT ON DATABASE delegraph TO delegraph_reader;
