-- Delete what an export has copied.
--
-- KEYS  1 prefix
-- ARGV  1 id of the snapshot
-- Returns  OK

for _, key in ipairs(snapshot_keys(ARGV[1])) do
  redis.call('UNLINK', key)
end
return 'OK'
