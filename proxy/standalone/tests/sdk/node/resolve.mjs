// Lets our files import packages that are installed elsewhere, in $SDK_NODE: Node.js looks for
// packages only beside the importing file, and nothing is installed into the repository.
import { register } from 'node:module';
import { pathToFileURL } from 'node:url';

const installed = pathToFileURL(`${process.env.SDK_NODE}/package.json`).href;
const ours = new URL('.', import.meta.url).href;
const hook = `
  export function resolve(name, context, next) {
    const bare = !/^([./]|node:|file:)/.test(name);
    const from = bare && context.parentURL?.startsWith(${JSON.stringify(ours)});
    return next(name, from ? { ...context, parentURL: ${JSON.stringify(installed)} } : context);
  }`;
register(`data:text/javascript,${encodeURIComponent(hook)}`);
