{{ config(materialized='view') }}

with days as (

    select * from {{ ref('rules_daily') }}

),

logs as (

    select
        cast(max(date) as timestamp) as newest_on,
        count(distinct date) as days_known
    from days

),

of_rules as (

    select
        acl_id,
        rule,
        min(first_at) as first_hit_at,
        max(last_at) as last_hit_at,
        cast(max(date) as timestamp) as last_hit_on,
        count(distinct date) as days_hit,
        sum(flows) as flows,
        sum(tuples) as tuples,
        sum(case when decision = 'A' then flows else 0 end) as allowed,
        sum(case when decision = 'D' then flows else 0 end) as denied,
        sum(case when decision = 'A' then malicious else 0 end) as malicious_allowed,
        sum(case when decision = 'D' then malicious else 0 end) as malicious_denied
    from days
    group by acl_id, rule

)

select
    of_rules.acl_id,
    of_rules.rule,
    {{ rule_kind('of_rules.rule') }} as rule_kind,
    of_rules.first_hit_at,
    of_rules.last_hit_at,
    cast(
        {{ seconds_between('of_rules.last_hit_on', 'logs.newest_on') }} / 86400 as integer
    ) as days_since_hit,
    cast(of_rules.days_hit as integer) as days_hit,
    cast(logs.days_known as integer) as days_known,
    cast(of_rules.flows as bigint) as flows,
    cast(of_rules.tuples as bigint) as tuples,
    cast(of_rules.allowed as bigint) as allowed,
    cast(of_rules.denied as bigint) as denied,
    cast(of_rules.malicious_allowed as bigint) as malicious_allowed,
    cast(of_rules.malicious_denied as bigint) as malicious_denied
from of_rules
cross join logs
