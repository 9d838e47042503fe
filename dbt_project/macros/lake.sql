{#- How tables are written: all that is DuckDB's, dbt-duckdb's or the lake's own. -#}

{% materialization lake, adapter='duckdb' %}
  {#- One file per hour or day, built, checked and committed by the plugin; here only the contract,
      and the view that tests and later models read. -#}
  {%- set target = this.incorporate(type='view') -%}
  {{ run_hooks(pre_hooks, inside_transaction=False) }}
  {{ run_hooks(pre_hooks, inside_transaction=True) }}
  {#- dbt checks a contract only where a materialization asks it to. -#}
  {%- if config.get('contract').enforced -%}
    {{ get_assert_columns_equivalent(sql) }}
  {%- endif -%}
  {%- do adapter.store_relation(
      'lake', target, [], '', 'parquet', {'kind': 'lake', 'name': model.name, 'sql': sql}
  ) -%}
  {% call statement('main') -%}
    select 1
  {%- endcall %}
  {{ run_hooks(post_hooks, inside_transaction=True) }}
  {{ adapter.commit() }}
  {{ run_hooks(post_hooks, inside_transaction=False) }}
  {{ return({'relations': [target]}) }}
{% endmaterialization %}


{% materialization view, adapter='duckdb' %}
  {#- A view lives in memory; its SQL is kept, so that it stands in every later connection too. -#}
  {%- set target = this.incorporate(type='view') -%}
  {{ run_hooks(pre_hooks, inside_transaction=False) }}
  {{ run_hooks(pre_hooks, inside_transaction=True) }}
  {%- if config.get('contract').enforced -%}
    {{ get_assert_columns_equivalent(sql) }}
  {%- endif -%}
  {% call statement('main') -%}
    create or replace view {{ target }} as ({{ sql }})
  {%- endcall %}
  {%- do adapter.store_relation(
      'lake', target, [], '', 'view',
      {'kind': 'view', 'schema': model.schema, 'name': model.name, 'sql': sql}
  ) -%}
  {{ run_hooks(post_hooks, inside_transaction=True) }}
  {{ adapter.commit() }}
  {{ run_hooks(post_hooks, inside_transaction=False) }}
  {{ return({'relations': [target]}) }}
{% endmaterialization %}
