-- How a waiting job leaves the place where it waits.

local LONGEST = 1000 -- ids in a list from which one is removed: in a longer one that would take too long

-- In a long list the id stays, and is skipped later: for jobs that do not wait any more.
local function remove_from_short(list, id)
  return redis.call('LLEN', list) <= LONGEST and redis.call('LREM', list, 1, id) == 1
end

-- A worker that was just handed the job skips it when it comes to it.
local function was_handed_over(id)
  for _, workers in ipairs({ P .. KEY.workers, P .. KEY.fenced }) do
    for _, worker in ipairs(redis.call('ZRANGE', workers, 0, -1)) do
      if redis.call('LPOS', P .. KEY.processing .. worker, id) then
        return true
      end
    end
  end
  return false
end

local NEAR = 500 -- ids on both sides of where a job should be

-- Return the index of an id in a list, nil if it is not there. A long list is searched where the job's time says, and at
-- its ends, before it is searched as a whole.
local function index_in(list, id, since)
  local ends = { LONGEST, -LONGEST }
  for _, most in ipairs(ends) do
    local index = redis.call('LPOS', list, id, 'RANK', most > 0 and 1 or -1, 'MAXLEN', LONGEST)
    if index then
      return index
    end
  end
  local from = math.max(first_since(list, tonumber(since) or 0) - NEAR, 0)
  for at, each in ipairs(redis.call('LRANGE', list, from, from + 2 * NEAR)) do
    if each == id then
      return from + at - 1
    end
  end
  return redis.call('LPOS', list, id) or nil
end

-- Take a job that goes on waiting elsewhere out of a list. In a long list an id that no job has takes its place, so that
-- nothing after it has to be shifted; with `keeps_last` also in a list of one. Returns 'removed', 'replaced', or false if the job
-- is not there.
local function take_out(list, id, since, keeps_last)
  local length = redis.call('LLEN', list)
  if length <= LONGEST and not (keeps_last and length == 1) then
    return redis.call('LREM', list, 1, id) == 1 and 'removed'
  end
  local index = index_in(list, id, since)
  if index then
    -- The digit is the version of a UUID.
    redis.call('LSET', list, index, string.sub(id, 1, 14) .. '0' .. string.sub(id, 16))
    return 'replaced'
  end
  return false
end

-- Take a pending job out of its list, which is one of its tenant if it has that. No list of a tenant becomes empty: so no ring
-- has to be searched for the tenant.
local function take_out_of_pending(id, job)
  local how = false
  if job.tenant then
    local lists = lists_of_tenants()
    how = take_out(lists.key(job.priority, job.tenant), id, job.since, true)
    lists.count(job.priority, how == 'removed' and -1 or 0)
  end
  return how or take_out(P .. KEY.pending .. job.priority, id, job.since)
end

-- Take a throttled job out of its bucket. It may wait in that of its type's keys meanwhile (see `mix_throttled`): `parked` of `job`
-- is the right one afterwards.
local function leave_bucket(id, job)
  for _, bucket in ipairs({ job.parked, string.match(job.parked, '^[^/]*') .. '/' }) do
    local how = take_out(P .. KEY.parked .. bucket .. ':' .. job.priority, id, job.since)
    if how == 'removed' then
      redis.call('HINCRBY', P .. KEY.parked_jobs, job.priority, -1)
    end
    if how then
      job.parked = bucket
      return
    end
  end
end

-- Take a waiting job from where it is; `job` has its state, priority, parked, since and tenant. Returns false when a worker has
-- just been handed it.
local function leave_place(id, job)
  if IS_TIMED[job.state] then
    redis.call('ZREM', P .. job.state, id)
  elseif job.parked and job.parked ~= '' then
    leave_bucket(id, job)
  elseif redis.call('LREM', P .. KEY.next, 1, id) == 0 then
    if was_handed_over(id) then
      return false
    end
    if take_out_of_pending(id, job) == 'replaced' then
      redis.call('HINCRBY', P .. KEY.tombstones, job.priority, 1)
    end
  end
  return true
end
