-- What only a superuser makes, or restores; after zoo.sql.
\set ON_ERROR_STOP on
set client_min_messages = error;
create extension postgres_fdw;
create type shop.cell;
create function shop.cell_in(cstring) returns shop.cell language internal immutable strict as 'textin';
create function shop.cell_out(shop.cell) returns cstring language internal immutable strict as 'textout';
create type shop.cell (input = shop.cell_in, output = shop.cell_out, like = text, category = 'S');
create aggregate shop.mul(float8) (sfunc = float8mul, stype = float8, initcond = '1');
create function shop.watch() returns event_trigger language plpgsql as $$ begin end $$;
create event trigger watching on ddl_command_end when tag in ('CREATE TABLE') execute function shop.watch();
create operator family shop.odd using btree;
create operator class shop.odd_ops for type int using btree family shop.odd as
    operator 1 <, operator 2 <=, operator 3 =, operator 4 >=, operator 5 >, function 1 btint4cmp(int, int);
create default conversion shop.conv for 'LATIN1' to 'UTF8' from iso8859_1_to_utf8;
create text search parser shop.pieces (start = prsd_start, gettoken = prsd_nexttoken, end = prsd_end, lextypes = prsd_lextype);
create text search template shop.same (lexize = dsimple_lexize, init = dsimple_init);
create foreign data wrapper nowhere options (kind 'none');
create server elsewhere type 'x' version '1' foreign data wrapper postgres_fdw options (host '127.0.0.1', port '1');
create user mapping for zoo_reader server elsewhere options (user 'u', password 's3cret');
create foreign table shop.far (id int options (column_name 'ID'), what text) server elsewhere options (table_name 'there');
grant usage on foreign server elsewhere to zoo_reader;
create publication changes for table shop.orders (id, total) where (id > 5), shop.customers with (publish = 'insert');
create publication whole for tables in schema empty;
create subscription feed connection 'host=127.0.0.1 port=1 password=s3cret' publication p with (connect = false);
