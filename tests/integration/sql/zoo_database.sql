-- What is said of the database itself, which a dump without -C does not carry.
\set ON_ERROR_STOP on
select format('alter database %I set work_mem = ''7MB''', current_database()) \gexec
select format('alter role zoo_reader in database %I set search_path = shop, public', current_database()) \gexec
select format('grant create on database %I to zoo_reader', current_database()) \gexec
select format('comment on database %I is ''a zoo''', current_database()) \gexec
select format('alter database %I connection limit 50', current_database()) \gexec
