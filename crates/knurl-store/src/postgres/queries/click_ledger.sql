-- One statement, so that all figures are of one snapshot. Counts the rows there are: an audit must not believe a counter. External
-- clicks are taken off and not left out: they are few and have an index of their own, all others are counted in any index.
select
  (select coalesce(sum(seq), 0)::bigint from cursors) as delivered,
  knurl_total('clicks_undecodable') as undecodable,
  knurl_total('clicks_unlinked') as unlinked,
  (select count(*) from clicks) - (select count(*) from clicks where source = 1)
    + (select count(*) from clicks_gone) - (select count(*) from clicks_gone where source = 1) as raw,
  knurl_total('clicks_purged') as purged,
  knurl_total('clicks_external') as external,
  (select coalesce(sum(total), 0)::bigint from link_totals) as rolled_up,
  (select coalesce(sum(events), 0)::bigint from audit_acceptances) as accepted_events,
  (select coalesce(sum(roll_ups), 0)::bigint from audit_acceptances) as accepted_roll_ups
