-- Start a gradual redrive of dead letters: a few canaries first, the rest once those have completed, at a rate. It
-- covers the dead letters that exist now, not those that die later.
--
-- KEYS  1 prefix
-- ARGV  1 id  2 groups, joined by commas, '' for all  3 how many canaries  4 how many a second, '' for no limit
--       5 how many at most, '' for all  6 what was asked for (JSON), for people  7 of which tenant, '' for all
-- Returns  how many it will be, 0 when there is none

local id, groups, limit = ARGV[1], ARGV[2], tonumber(ARGV[5])
local record = P .. KEY.redrive .. id

local total = groups == '' and redis.call('ZCARD', P .. KEY.failed) or 0
for group in string.gmatch(groups, '[^,]+') do
  total = total + redis.call('ZCARD', P .. KEY.group .. group)
end
if limit then
  total = math.min(total, limit)
end
local known_total = redis.call('HGET', record, 'total')
if known_total or total == 0 then
  return tonumber(known_total) or 0
end

-- A scheduler of the release before, which knows no tenants, finds no such group, and retries nothing.
local tenant = ARGV[7] or ''
redis.call('HSET', record, 'state', tonumber(ARGV[3]) > 0 and 'canary' or 'running', 'tenant', tenant,
  'groups', tenant ~= '' and '@' .. groups or groups,
  'canary', ARGV[3], 'rate', ARGV[4], 'left', total, 'total', total, 'retried', 0, 'asked', ARGV[6], 'began', now,
  'stamp', 0)
redis.call('ZADD', P .. KEY.redrives, now, id)
wake_scheduler_if_first(KEY.redrives, now)
return total
