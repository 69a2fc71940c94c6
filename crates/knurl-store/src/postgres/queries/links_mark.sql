-- While it is the same, no link is gone and none has become another: the database, this run of its server (one that was set back to an
-- earlier state, or took over, has another), counted removals, and the table's file. Nothing that a hosted server may forbid.
select knurl_database_id()::text || ' ' || pg_postmaster_start_time()::text || ' ' || knurl_total('links_removed')::text
  || ' ' || pg_relation_filenode('links')::text
